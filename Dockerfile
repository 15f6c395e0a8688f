# aqreanalysis in a container:
#   docker build -t aqreanalysis .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" aqreanalysis build --year 2016 --grid 0.1deg
FROM python:3.11-slim
# For the CPU build of torch, without 3 GB of CUDA that nothing here needs, name the index that has it:
#   docker build --build-arg TORCH_INDEX=URL -t aqreanalysis .      (URL: see PyTorch's page on installing)
ARG TORCH_INDEX=
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch==2.13.0"
COPY . /source
RUN pip install --no-cache-dir /source && rm -r /source \
 && useradd --create-home user
# Whoever runs it: what matplotlib keeps for itself is written where anybody may.
ENV MPLCONFIGDIR=/tmp/matplotlib
USER user
WORKDIR /work
ENTRYPOINT ["aqreanalysis"]
CMD ["--help"]
