# The command in a container:
#   docker build -t hypertax .
#   docker run --rm -v "$PWD:/work" hypertax identify queries.fasta --reference library.tsv
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE constraints.txt /source/
COPY hypertax /source/hypertax
RUN pip install --no-cache-dir -c /source/constraints.txt /source
WORKDIR /work
ENTRYPOINT ["hypertax"]
