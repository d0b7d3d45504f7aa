// Package deploytest holds what the repository ships for running Tidemill (compose.yaml, Dockerfile, the folder deploy and
// docs/DEPLOY.md) against the program and against itself: commands and flags exist, addresses, paths and names agree. It has
// only tests. They need no Docker; what the images would run is run here.
package deploytest
