// Package examples holds the same sign-up in Go, Ruby and TypeScript: a user, a job and a subscription are written in one
// transaction. Its tests run the Ruby and the TypeScript one as they are, against a worker.
package examples
