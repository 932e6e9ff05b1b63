# PayAid. `make help` lists what there is.

.DEFAULT_GOAL := help
.PHONY: help run test check fuzz bench load chaos deploytest ollama build deps testdeps

help: ## Show this
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## Build bin/payaid
	go build -trimpath -o bin/payaid .

run: deps build ## Start the whole product here and run its main jobs (ARGS="--exit" ends after them)
	bin/payaid up --demo $(ARGS)

test: testdeps ollama ## Run all tests
	cd deploy/check && go test -timeout 10m ./...
	go tool gotestsum --format pkgname-and-test-fails --jsonfile test.json -- -race -timeout 20m ./...

check: ## Formatting, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -d $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	cd deploy/check && go vet ./...
	go vet -tags deploytest ./deploy/test
	go tool staticcheck ./...

fuzz: testdeps ## Fuzz what reads foreign bytes, 30 s for each target (FUZZTIME=5m)
	@scripts/fuzz.sh

bench: testdeps build ## Measure this machine against the bare parts (BENCH="--duration 20s")
	bin/payaid bench $(BENCH)

load: deps build ## The load profile of deploy/load by k6, against an installation of its own (LOAD_DURATION=30)
	@scripts/load.sh

chaos: testdeps ## Kill every process again and again under load, a quarter of an hour long
	go test -race -count 1 -timeout 30m -v -run TestChaos ./internal/cli/chaos -args -jobs 2000 -kills 25 -mailkills 200 -ordeals 18

deploytest: ## Run deploy/compose.yaml by a Docker engine of its own, and everything that may befall it (half an hour; root)
	@deploy/test/run.sh

ollama: ## Build the real Ollama that tests use, once
	@scripts/ollama.sh

deps: ## Install the programs that the product needs here: Postgres and Redis
	@scripts/deps.sh

testdeps: ## Install those that the tests need besides, such as Postfix
	@scripts/deps.sh tests
