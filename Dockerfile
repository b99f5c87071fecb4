# gancore for processors, from packages alone: docs/installation.md says how to build and run it.
# The build context is a folder of wheels, whose packages pip prefers to those of its index; it may be empty.
FROM python:3.12-slim

ARG EXTRAS=audio,image,synthetic
# Builds of torch without CUDA; for GPUs another index of PyTorch.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN pip install --no-cache-dir torch==2.11.0 torchaudio==2.11.0 --index-url "$TORCH_INDEX"
RUN --mount=type=bind,target=/wheels \
    pip install --no-cache-dir --find-links /wheels "torch==2.11.0" "torchaudio==2.11.0" "gancore[$EXTRAS]"

RUN useradd --create-home gancore && mkdir /data && chown gancore /data
USER gancore
ENV GANCORE_CACHE=/data/cache PYTHONUNBUFFERED=1
VOLUME /data
WORKDIR /data
ENTRYPOINT ["gancore"]
CMD ["--help"]
