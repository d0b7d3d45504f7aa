// Package observability writes the Grafana dashboards and the Prometheus rules of metrics/dashboards and metrics/rules, and
// holds them to the metrics of the code, to docs/OPERATIONS.md and to a real Prometheus.
//
// The files are generated so that what every panel and every alert must have (a data source that can be chosen, a unit, a
// runbook) cannot be forgotten in one of them. Rewrite them with:
//
//	go test ./internal/observability -run Generated -update
//
// # The label of configured jobs
//
// Prometheus calls the scrape target job, too, and renames a label of that name that a target brings along: our job label is
// exported_job in Prometheus, unless honor_labels is on, which must stay off (its default) for these dashboards and rules.
package observability
