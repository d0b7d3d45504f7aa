# The program in an image that holds nothing else: no shell, no libc, no package to patch.
#
#   docker build -t tidemill .
#
# Jobs of kind command need the programs that they run; docs/DEPLOY.md shows how to put this one into an image that has them.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# With .git, which gives the version that "tidemill version" prints. Without it the build is "devel".
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/tidemill ./cmd/tidemill
# What every program may expect: a name for its user, somewhere to put temporary files, and a home for storage.url, whose
# owner a new volume takes over.
RUN mkdir -p /out/etc /out/tmp /out/var/lib/tidemill && chmod 1777 /out/tmp && \
    echo 'tidemill:x:65532:65532::/var/lib/tidemill:/sbin/nologin' >/out/etc/passwd && \
    chown 65532:65532 /out/var/lib/tidemill

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /
ENV TIDEMILL_CONFIG=/etc/tidemill/tidemill.yaml
USER 65532:65532
WORKDIR /var/lib/tidemill
EXPOSE 8080 9394
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/tidemill", "healthcheck"]
ENTRYPOINT ["/tidemill"]
CMD ["worker"]
