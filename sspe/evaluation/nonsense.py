"""Phrases that no photo shows: abstract ones of known words, and strings that are no words. Half are for fits."""

_ABSTRACT = """
a quantum algorithm, the inflation rate, a moral dilemma, an algebraic proof, the annual deficit, a legal precedent,
a philosophical argument, the unemployment figure, a tax exemption, the exchange rate, a hypothesis, the mortgage,
a chemical bond, the gravitational constant, an insurance policy, the constitution, a software license, the semester,
a stock option, the merger, an irregular verb, the subjunctive, a logarithm, the square root, a probability theory,
an economic recession, the etymology, a treaty, the jurisdiction, an allegation, the amendment, a diplomatic crisis,
the subsidy, a trade agreement, an encryption key, the bandwidth, a compiler error, the source code, a random variable,
the eigenvalue, a differential equation, the entropy, an oxidation state, the half life, a genetic mutation, the enzyme,
a metabolic pathway, the immune response, an antibiotic resistance, the dosage, a clinical trial, the placebo effect,
a statistical bias, the median income, a census, the birth rate, an ideology, the bureaucracy, a monopoly, the dividend,
an audit, the liability, a bankruptcy, the interest rate, a copyright infringement, the patent office, a lawsuit,
the verdict, an alibi, the statute, a coalition, the referendum, an embargo, the sanctions, a ceasefire, the doctrine,
a theological debate, the scripture, an existential question, the paradox, a metaphor, the plot twist, an anagram,
the rhyme scheme, a haiku, the chord progression, an octave, the tempo, a syllable, the dialect, a proverb, the grammar
""".replace("\n", " ").split(",")
_NO_WORDS = """
sdkfj, a qwrtzp, the blorfnik, xxvjq, a zzgrbl, the fnordlewap, plimkqa, a wugzat, grxtl, the snorqvex, a dfghjkl,
the trwqpz, vbnmqq, a krzlgt, the ploqwirt, jjfkdq, a mnbvq, the hgfdsq, qpwoei, a zxcvbq
""".replace("\n", " ").split(",")
NONSENSE = tuple(phrase.strip() for phrase in (*_ABSTRACT, *_NO_WORDS))
NO_WORDS = tuple(phrase.strip() for phrase in _NO_WORDS)
FOR_FITS = NONSENSE[1::2]
TO_MEASURE = NONSENSE[::2]  # "a quantum algorithm" and "sdkfj" among them
