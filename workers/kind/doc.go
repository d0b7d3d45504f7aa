// Package kind says what a kind of job brings: a [Kind] has its fields in tidemill.yaml, its workers, and how people see its runs. Those
// of package workers are made of it, and so may be those of a user's program; see docs/KINDS.md.
package kind
