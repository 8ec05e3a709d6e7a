"""The sentence side: word vectors and the encoders that turn a phrase into one vector."""
