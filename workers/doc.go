// Package workers lists the kinds of job that Tidemill brings. Each has a folder; package kind says what a kind is.
package workers
