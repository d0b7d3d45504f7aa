package testdb

import "syscall"

const (
	sharedMemory    = "/dev/shm"
	minSharedMemory = 4 << 30 // bytes; containers often have 64 MiB, which is full at once
)

// memoryFolder is a folder in memory with enough room for the data of tests, or "". A new database is some 300 files,
// which is slow on many disks: ten times as slow as in memory.
func memoryFolder() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(sharedMemory, &fs); err != nil {
		return ""
	}
	if fs.Bavail*uint64(fs.Bsize) < minSharedMemory {
		return ""
	}
	return sharedMemory
}
