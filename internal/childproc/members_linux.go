package childproc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// onlyZombies reports whether all that is left of a group has ended and just was not collected. Whose parent is gone is
// collected by the first process of the machine or container, and not all programs that are put there do that.
func onlyZombies(group int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return false
	}
	number := strconv.Itoa(group)
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil { // it ended meanwhile
			continue
		}
		// PID (NAME) STATE PPID PGRP …, and a name may hold anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 2 && string(fields[2]) == number && string(fields[0]) != "Z" && string(fields[0]) != "X" {
			return false
		}
	}
	return true
}
