//go:build !linux

package testdb

// memoryFolder is "": only Linux has a folder in memory that everybody may use.
func memoryFolder() string { return "" }
