# One stage: Node runs the sources as they are. Behind a registry of packages of one's own, name it in an npmrc:
#   docker build --secret id=npmrc,src=$HOME/.npmrc -t cistern .
ARG BASE=docker.io/library/node:26-slim
FROM ${BASE}

WORKDIR /opt/cistern
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc \
    NPM_CONFIG_USERCONFIG=/run/secrets/npmrc npm ci --omit=dev --omit=optional --ignore-scripts \
    && rm -rf /root/.npm /tmp/* node_modules/.package-lock.json \
    && mkdir -m 0700 /var/lib/cistern && chown 1000:1000 /var/lib/cistern
COPY LICENSE ./
COPY src ./src

# Both are reached from outside the container; which of them from outside the machine, its publisher decides.
ENV NODE_ENV=production \
    CISTERN_LISTEN=0.0.0.0:5000 \
    CISTERN_ADMIN_LISTEN=0.0.0.0:5001 \
    CISTERN_DATA_DIR=/var/lib/cistern
EXPOSE 5000 5001
VOLUME /var/lib/cistern
USER 1000:1000

LABEL org.opencontainers.image.title="Cistern" \
      org.opencontainers.image.description="A pull-through cache appliance for container registries" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/node:26-slim"

HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["node", "/opt/cistern/src/main.ts", "healthcheck"]
ENTRYPOINT ["node", "--max-semi-space-size=2", "--v8-pool-size=1", "--heap-growing-percent=100", "--no-memory-reducer", "/opt/cistern/src/main.ts"]
CMD ["serve"]
