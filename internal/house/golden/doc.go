// Package golden holds what users see against files in testdata: hashes of jobs, the schema of tidemill.yaml, help texts,
// the shape of JSON output, the SQL that others call, and the exported names. A change of the inside must not change
// them; one that is meant to is shown by the difference that its commit brings.
//
// docs/CONFIG.md and docs/METRICS.md are generated and held to the code in config and metrics, and have no copy here.
package golden
