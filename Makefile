# Each target is documented after ##; "make help" prints it.

.DEFAULT_GOAL := help
.PHONY: help demo test lint generate bench verify

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## see it work, with a database of its own (ARGS="--once --rows 1000000")
	go run ./cmd/tidemill demo $(ARGS)

test: ## run all tests with the race detector (ARGS="-run Import -v")
	go test -race -timeout 30m ./... $(ARGS)

lint: ## gofmt, go vet and staticcheck
	.ci/run gofmt vet staticcheck

generate: ## rewrite the generated files: docs/CONFIG.md, docs/METRICS.md, dashboards and rules
	go test ./config ./metrics ./internal/observability -run "Reference|Generated" -update

bench: ## run the benchmarks (ARGS are theirs)
	go run ./bench $(ARGS)

verify: ## generated files are up to date, go.mod is tidy, and lint
	.ci/run generated tidy gofmt vet staticcheck
