# The worker's environment for test nodes: Debian's Python and requirements/worker.txt, nothing of our own code.
# Installs from uv's cache only, which the environment of the tests has filled: no network, no certificates.
FROM scratch
ADD debian.tar /
COPY worker.txt /tmp/worker.txt
RUN /build/uv --offline pip install --quiet --system --break-system-packages --link-mode copy \
      --compile-bytecode --require-hashes -r /tmp/worker.txt \
 && rm /tmp/worker.txt \
 && useradd --create-home --uid 1000 autolfads
ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8
USER 1000:1000
WORKDIR /home/autolfads
