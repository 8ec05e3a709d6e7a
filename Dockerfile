# The page in a container:  docker build -t sspe . && docker run -p 7860:7860 sspe
FROM python:3.11-slim

# Letters beyond English ones on drawn pictures; a Hugging Face Space installs the same.
COPY packages.txt .
RUN apt-get update && xargs apt-get install -y --no-install-recommends < packages.txt && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 visitor
WORKDIR /app
COPY requirements.txt .
# The small CPU build of torch; leave the extra index out for one with CUDA.
RUN pip install --no-cache-dir -r requirements.txt --extra-index-url https://download.pytorch.org/whl/cpu
COPY . .

USER visitor
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_TEMP_DIR=/tmp/gradio
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/', timeout=4)"]
CMD ["python", "app.py"]
