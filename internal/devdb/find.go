package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// NotFoundError says that there is no PostgreSQL to start: none was found and none could be downloaded.
type NotFoundError struct {
	Looked   []string // each place, with what was wrong there
	Download error    // why the download came to nothing
}

func (e *NotFoundError) Error() string {
	looked := strings.Join(e.Looked, "; ")
	if looked == "" {
		looked = "nowhere, as the search list is empty"
	}
	return fmt.Sprintf("no PostgreSQL found to start: looked for initdb and postgres in: %s; download: %v; %s", looked, e.Download, e.Hint())
}

// Hint is what the user can do about it.
func (e *NotFoundError) Hint() string {
	return fmt.Sprintf("install PostgreSQL %d or newer, or set DATABASE_URL to a database that you have", MinVersion)
}

func (e *NotFoundError) Unwrap() error { return e.Download }

// programs is a folder with the server's programs.
type programs struct {
	dir   string
	major int
}

func (p programs) initdb() string   { return filepath.Join(p.dir, "initdb") }
func (p programs) postgres() string { return filepath.Join(p.dir, "postgres") }

// distributionFolders is where packages of PostgreSQL put programs that are not on PATH.
func distributionFolders() []string {
	if runtime.GOOS == "darwin" {
		return []string{
			"/opt/homebrew/opt/postgresql*/bin",
			"/usr/local/opt/postgresql*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
			"/Library/PostgreSQL/*/bin",
			"/opt/local/lib/postgresql*/bin",
		}
	}
	return []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // packages of the PostgreSQL project for RHEL
		"/usr/libexec/postgresql*",  // Alpine
		"/usr/lib/postgresql*/bin",  // SUSE, Gentoo
		"/usr/local/pgsql/bin",      // built from source
		"/opt/homebrew/opt/postgresql*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	}
}

// findPrograms returns the programs to run: of the major version want if it is not 0, otherwise the first on PATH or
// the highest of the first pattern that matches. Only without any are they downloaded.
func findPrograms(ctx context.Context, opts *Opts, want int) (programs, error) {
	if opts.BinDir != "" {
		p, err := inspect(ctx, opts.BinDir, want)
		if err != nil {
			return programs{}, fmt.Errorf("programs of PostgreSQL: %w", err)
		}
		return p, nil
	}
	patterns := opts.Search
	var looked []string
	if patterns == nil {
		found, p := searchPath(ctx, want)
		if found {
			return p, nil
		}
		looked = append(looked, "PATH")
		patterns = distributionFolders()
	}
	for _, pattern := range patterns {
		p, err := searchPattern(ctx, pattern, want)
		if err == nil {
			return p, nil
		}
		looked = append(looked, err.Error())
	}
	p, err := download(ctx, opts, want)
	if ctx.Err() != nil {
		return programs{}, fmt.Errorf("look for PostgreSQL: %w", ctx.Err())
	}
	if err != nil {
		return programs{}, &NotFoundError{Looked: looked, Download: err}
	}
	return p, nil
}

func searchPath(ctx context.Context, want int) (bool, programs) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if !filepath.IsAbs(dir) { // an empty or relative element would run what lies in the working folder
			continue
		}
		if p, err := inspect(ctx, dir, want); err == nil {
			return true, p
		}
	}
	return false, programs{}
}

// searchPattern returns the highest version among the folders that match; its error is a line for NotFoundError.
func searchPattern(ctx context.Context, pattern string, want int) (programs, error) {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return programs{}, fmt.Errorf("%s (%w)", pattern, err)
	}
	var (
		best   programs
		faults []string
	)
	for _, dir := range dirs {
		p, err := inspect(ctx, dir, want)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		if p.major > best.major {
			best = p
		}
	}
	if best.major > 0 {
		return best, nil
	}
	if len(faults) == 0 {
		return programs{}, errors.New(pattern)
	}
	slices.Sort(faults)
	return programs{}, fmt.Errorf("%s (%s)", pattern, strings.Join(faults, ", "))
}

// inspect reports whether dir holds programs that can be used. initdb finds its companions beside its real self, so links
// are followed first.
func inspect(ctx context.Context, dir string, want int) (programs, error) {
	initdb, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
	if err != nil {
		return programs{}, fmt.Errorf("%s has no initdb", dir)
	}
	p := programs{dir: filepath.Dir(initdb)}
	if _, err := os.Stat(p.postgres()); err != nil {
		return programs{}, fmt.Errorf("%s has no postgres", p.dir)
	}
	out, err := exec.CommandContext(ctx, p.postgres(), "--version").Output()
	if err != nil {
		return programs{}, fmt.Errorf("%s --version: %w", p.postgres(), err)
	}
	p.major = parseVersion(string(out))
	if p.major < MinVersion {
		return programs{}, fmt.Errorf("%s is %q, version %d or newer is needed", p.postgres(), strings.TrimSpace(string(out)), MinVersion)
	}
	if want != 0 && p.major != want {
		return programs{}, fmt.Errorf("%s has version %d, the data is of version %d", p.dir, p.major, want)
	}
	return p, nil
}

var versionPattern = regexp.MustCompile(`^postgres \(.*?\) (\d{1,4})`)

// parseVersion is the major version in the output of postgres --version, 0 if there is none. Versions before 10 are
// older than MinVersion whichever of their numbers is taken.
func parseVersion(out string) int {
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return major
}
