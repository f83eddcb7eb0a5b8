# Go and make are enough for build, test and demo. See CONTRIBUTING.md.

GO ?= go
BIN := $(CURDIR)/bin

GOTESTFLAGS ?=
FUZZTIME ?= 10s
BENCHCOUNT ?= 6
N ?= 10000
SEED ?= 1
RUNS ?= 5
ROOTS ?= $(CURDIR)/dist/roots
BENCH ?= .
PARTS ?= . # of bench-spindle: local, user, slow, growth, many, programs
BENCHFLAGS ?= # -table FILE (JSON) and -markdown FILE, absolute; -libraries N; -cost 1ms
COMPAREFLAGS ?= # -wrong lists the cases that each tool is wrong about, -runs N
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
ORAS := oras.land/oras/cmd/oras@v1.3.6

.DEFAULT_GOAL := build
.PHONY: build demo test test-race test-behaviour test-roots compare test-record-soak test-containers test-nodes test-slim lint fuzz fuzz-graphs bench bench-record bench-spindle oras clean

build: # the static binary bin/compat
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/compat ./cmd/compat

demo: build # the main verbs, on a program of this machine, without a server
	@PATH="$(BIN):$$PATH" sh scripts/demo.sh

# The cases of pkg/internal/loadertest, built once for all test binaries and for
# all workers of a fuzz target, of which each would build them anew (10 s and more).
with_cases = set -e; cases=$$(mktemp -d); trap 'rm -rf "$$cases"' EXIT; \
	if command -v bash >/dev/null && command -v gcc >/dev/null && command -v python3 >/dev/null; then \
		bash pkg/internal/loadertest/testdata/cases.sh build "$$cases/cases" >/dev/null; \
		COMPAT_TEST_CASES="$$cases/cases"; export COMPAT_TEST_CASES; \
	fi

test: # all tests; one that needs gcc or oras says so where it skips
	@$(with_cases); PATH="$(BIN):$$PATH" $(GO) test $(GOTESTFLAGS) ./...

test-race: # all tests under the race detector, which needs a C compiler and a slow machine more than 10 minutes a package
	@$(MAKE) test GOTESTFLAGS="-race -count=1 -timeout 15m $(GOTESTFLAGS)"

test-behaviour: # suites of others, alone and recorded, as root and as a user; needs root, half an hour
	$(GO) test -tags behaviour -count 1 -timeout 0 -v -run 'Behaviour|CompleteLong' ./pkg/record ./pkg/spindle/accept

test-roots: # the loaders of other distributions as oracles; needs root and debootstrap
	sh scripts/make-roots.sh $(ROOTS)
	# $$ORIGIN of a program comes from /proc; the mounts end with the namespace.
	unshare --mount sh -c 'for r in $(ROOTS)/*; do mount -t proc proc "$$r/proc"; done; \
		COMPAT_ROOTS=$(ROOTS) $(GO) test -tags roots -count 1 -timeout 0 -v -run Roots ./pkg/internal/ldso'

test-record-soak: # a thousand recordings in a row leave nothing behind
	$(GO) test -count 1 -timeout 30m -v -run 'TestFaultInARow$$' ./pkg/record -fault.soak=1000

test-containers: build # recordings in containers of podman, with runc and with crun; needs root and debootstrap
	$(GO) build -o $(BIN)/olareg github.com/olareg/olareg/cmd/olareg
	COMPAT=$(BIN)/compat OLAREG=$(BIN)/olareg sh scripts/test-containers.sh $(CURDIR)/dist/containers

test-nodes: build # nodes in network namespaces that launch one program from a registry at once; needs root
	$(GO) build -o $(BIN)/olareg github.com/olareg/olareg/cmd/olareg
	COMPAT=$(BIN)/compat OLAREG=$(BIN)/olareg sh scripts/test-nodes.sh

test-slim: build # minimal roots of recorded runs of python3 and, where it is installed, LAMMPS run them again; needs root
	COMPAT=$(BIN)/compat sh scripts/test-slim.sh

compare: build # beside debug/elf, ldd, libtree and lddtree: who is right, who is fast
	$(GO) test -tags compare -count 1 -timeout 0 -v ./pkg/internal/compare -compat $(BIN)/compat $(COMPAREFLAGS)

lint: # gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w is due on:" $$unformatted; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

fuzz: # each fuzz target for FUZZTIME
	@$(with_cases); GO="$(GO)" sh scripts/fuzz.sh $(FUZZTIME)

fuzz-graphs: # N random graphs of libraries from SEED on, started by the real loader and by the simulation
	$(GO) test -run 'TestGraphsAgainstLoader$$' -count 1 -timeout 1h -v ./pkg/internal/ldso -graphs.n=$(N) -graphs.seed=$(SEED)

bench: # all benchmarks, in the form that benchstat reads
	@PATH="$(BIN):$$PATH" $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(BENCHCOUNT) ./...

bench-record: build # what a recording costs, beside strace: ratios, and the requests that they come from; needs root
	$(GO) test -tags cost -count 1 -timeout 0 -v -run TestCost ./pkg/record -compat $(BIN)/compat -runs $(RUNS)

bench-spindle: build # what a start costs, plain, under spindle and under what others do; PARTS=slow for one; needs root, patchelf
	$(GO) test -tags cost -count 1 -timeout 0 -v -run TestCost ./pkg/spindle/accept -compat $(BIN)/compat -runs $(RUNS) -parts '$(PARTS)' $(BENCHFLAGS)

oras: # bin/oras, with which tests compare
	GOBIN=$(BIN) $(GO) install $(ORAS)

clean:
	rm -rf $(BIN) dist
