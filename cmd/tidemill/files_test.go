//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/sampledata"
)

// people FILE ROWS [BAD] writes made-up people, one in a hundred twice. It sets DISTINCT to the number of good e-mails.
func cmdPeople(ts *testscript.TestScript, args []string) error {
	opts := sampledata.PeopleOpts{Seed: 1, DuplicateRatio: 0.01}
	var err error
	if opts.Rows, err = strconv.Atoi(args[1]); err != nil {
		return err
	}
	if len(args) > 2 {
		if opts.Bad, err = strconv.Atoi(args[2]); err != nil {
			return err
		}
	}
	var stats sampledata.PeopleStats
	err = writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		stats, err = sampledata.WritePeople(w, opts)
		return err
	})
	ts.Setenv("DISTINCT", strconv.Itoa(stats.Distinct))
	return err
}

// wide FILE ROWS writes rows of 2 KiB, some 2,000 a chunk, with ascending ids; each hundredth repeats the e-mail before it.
// It sets DISTINCT to the number of e-mails.
func cmdWide(ts *testscript.TestScript, args []string) error {
	rows, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ts.Setenv("DISTINCT", strconv.Itoa(rows-rows/100))
	return writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		fmt.Fprintln(w, "id,email,full_name,country,age,notes")
		padding := strings.Repeat("x", 2<<10)
		for id := 1; id <= rows; id++ {
			email := id
			if id%100 == 0 {
				email--
			}
			if _, err := fmt.Fprintf(w, "%d,p%d@example.com,Name,,,%s\n", id, email, padding); err != nil {
				return err
			}
		}
		return nil
	})
}

// unclosed FILE MIB writes a file of that size whose second row opens a quote that nothing closes; after it are lines of
// 4 KiB. It sets ROWS to the number of rows that are good.
func cmdUnclosed(ts *testscript.TestScript, args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	rows, written := 1, 0
	err = writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		fmt.Fprintln(w, "id,email,full_name,country,age,notes\n1,one@example.com,One,,,\n"+`2,two@example.com,"Two,,,`)
		padding := strings.Repeat("x", 4<<10)
		for written < size<<20 {
			rows++
			n, err := fmt.Fprintf(w, "%d,p%d@example.com,Name,,,%s\n", rows+1, rows, padding)
			if err != nil {
				return err
			}
			written += n
		}
		return nil
	})
	ts.Setenv("ROWS", strconv.Itoa(rows))
	return err
}

// longlines FILE LINES MIB writes a file of one good row and lines of that size, each of which begins with a quote.
func cmdLongLines(ts *testscript.TestScript, args []string) error {
	lines, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	return writeFile(ts.MkAbs(args[0]), func(w *bufio.Writer) error {
		fmt.Fprint(w, "id,email,full_name,country,age,notes\n1,one@example.com,One,,,")
		padding := strings.Repeat("x", 1<<20)
		for range lines {
			fmt.Fprint(w, "\n\"")
			for range size {
				if _, err := w.WriteString(padding); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func writeFile(path string, fill func(*bufio.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<20)
	return errors.Join(fill(w), w.Flush(), file.Close())
}
