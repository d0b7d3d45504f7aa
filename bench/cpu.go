package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// cpu is the CPU time so far of this process and of the server, its ended sessions included.
func (b *bench) cpu() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, err
	}
	total := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	postmaster, err := b.postmaster()
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("CPU time is measured on Linux only: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue // it has ended; its parent counts it
		}
		// After the command's name in brackets: state, ppid, …; utime is the 12th field from there, cstime the 15th.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		ppid, _ := strconv.Atoi(fields[1])
		if pid != postmaster && ppid != postmaster {
			continue
		}
		last := 13
		if pid == postmaster {
			last = 15
		}
		for _, field := range fields[11:last] {
			ticks, _ := strconv.ParseInt(field, 10, 64)
			total += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
		}
	}
	return total, nil
}

func (b *bench) postmaster() (int, error) {
	conn, err := pgx.Connect(context.Background(), b.db.URL())
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	var dir string
	if err := conn.QueryRow(context.Background(), "SHOW data_directory").Scan(&dir); err != nil {
		return 0, err
	}
	file, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(file), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}
