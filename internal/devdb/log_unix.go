//go:build linux || darwin

package devdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// tailLines and tailBytes bound what an error carries of the log.
const (
	tailLines = 12
	tailBytes = 8 << 10
)

// openLog begins a new log and keeps the one before, so that a kept folder has two at most.
func openLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".old"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("log: %w", err)
	}
	log, err := createIn(path)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return log, nil
}

// logTail is the last lines of a log, or why it cannot be read.
func logTail(path string) string {
	log, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer log.Close()
	if info, err := log.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := log.Seek(-tailBytes, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
