# Each recipe is one line that also works typed by hand.

# everything that must hold before a commit
check:
    test -z "$(gofmt -l .)" && go vet ./... && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./... && go test -race ./runtime/... ./builtins/... ./cmd/...

# all tests that need nothing installed
test:
    go test ./...

# the real components: OpenSSH, ext4 on a loop device, age, zstd, tar (needs root; .ci/run installs them)
real:
    RUNNER_REAL=1 go test -count=1 -timeout 60m ./tests/real && RUNNER_REAL=1 go test -count=1 -timeout 20m -run Kopia ./builtins/internal/chunks ./builtins/internal/decoded
    RUNNER_REAL=1 go test -count=1 -timeout 5m -run OpenSSH ./builtins/internal/target

# ratios against the usual tools, full sizes
bench:
    RUNNER_BENCH=full go test -count=1 -p 1 -timeout 60m -run Bench -v ./tests/bench ./builtins/internal/target ./builtins/internal/format/bundle ./builtins/internal/client/...

# one static binary for each machine, in bin/, with the licences of what is linked in
build:
    .ci/notices bin/licences
    for arch in amd64 arm64; do CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w -X main.version=$(git describe --always --dirty)" -o bin/runner-linux-$arch ./cmd/runner || exit 1; CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w" -o bin/runner-cloud-linux-$arch ./cmd/runner-cloud || exit 1; done
