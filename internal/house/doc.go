// Package house holds only tests, and these police the repository: who may import whom, why each dependency is there,
// what tests must not do, that documents are true. Each failure says what to do.
//
// A check is a function from the files of a repository to its problems, so that it can be tried on a small repository that
// breaks the rule as well as on this one that must not.
package house
