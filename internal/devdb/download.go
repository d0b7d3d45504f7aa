package devdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// defaultRepository is Maven Central, where the project zonky publishes small builds of the server's programs.
const defaultRepository = "https://repo1.maven.org/maven2"

const (
	stagingPrefix = "download-"
	stagingLife   = 24 * time.Hour // longer than any download takes
)

// releases are the published builds by major version; 0 is the one for new data.
var releases = map[int]embeddedpostgres.PostgresVersion{
	0:  embeddedpostgres.V18,
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// download returns the programs of the major version want (0: the newest) from the cache, or fetches them into it.
func download(ctx context.Context, opts *Opts, want int) (programs, error) {
	version, ok := releases[want]
	if !ok {
		return programs{}, fmt.Errorf("no build of PostgreSQL %d is known", want)
	}
	cache, err := cacheFolder(opts)
	if err != nil {
		return programs{}, err
	}
	repository := strings.TrimRight(opts.Repository, "/")
	if repository == "" {
		repository = defaultRepository
	}
	kept := filepath.Join(cache, "postgres-"+string(version))
	if p, err := inspect(ctx, filepath.Join(kept, "bin"), want); err == nil {
		return p, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return programs{}, fmt.Errorf("folder for downloads: %w", err)
	}
	removeStale(cache)
	// The folder gets its name once it is complete, so that a process never meets a half of what another one fetches.
	staging, err := os.MkdirTemp(cache, stagingPrefix)
	if err != nil {
		return programs{}, fmt.Errorf("folder for downloads: %w", err)
	}
	for _, dir := range []string{cache, staging} { // the server may run as another user
		if err := os.Chmod(dir, 0o755); err != nil {
			return programs{}, fmt.Errorf("folder for downloads: %w", err)
		}
	}
	done := make(chan error, 1)
	go func() {
		err := fetch(staging, kept, repository, version)
		done <- errors.Join(err, os.RemoveAll(staging))
	}()
	select {
	case err = <-done:
	case <-ctx.Done(): // the transfer cannot be interrupted; it ends by itself and cleans up
		err = ctx.Err()
	}
	if err != nil {
		return programs{}, fmt.Errorf("PostgreSQL %s from %s: %w", version, repository, err)
	}
	return inspect(ctx, filepath.Join(kept, "bin"), want)
}

// fetch lets embedded-postgres download, check and unpack a release, and moves it to kept.
//
// Its Start would continue to initdb and pg_ctl, which refuse root and would outlive this process. It is stopped before
// that: os.RemoveAll refuses a path that ends in a dot, and emptying the data folder is what Start does first after
// unpacking. Whether the programs are there decides, not what Start returns.
func fetch(staging, kept, repository string, version embeddedpostgres.PostgresVersion) error {
	unpacked := filepath.Join(staging, "unpacked")
	data := filepath.Join(staging, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().
		Version(version).
		BinaryRepositoryURL(repository).
		CachePath(filepath.Join(staging, "archive")).
		RuntimePath(filepath.Join(staging, "runtime")).
		BinariesPath(unpacked).
		DataPath(data + string(filepath.Separator) + ".").
		Port(0). // any free port passes the check that none listens; no server could start on it
		Logger(io.Discard)
	db := embeddedpostgres.NewDatabase(config)
	err := db.Start()
	if err == nil {
		return errors.Join(errors.New("embedded-postgres started a server of its own"), db.Stop())
	}
	for _, name := range []string{"initdb", "postgres"} {
		if _, statErr := os.Stat(filepath.Join(unpacked, "bin", name)); statErr != nil {
			return err
		}
	}
	if err := os.Rename(unpacked, kept); err != nil {
		if _, statErr := os.Stat(filepath.Join(kept, "bin", "postgres")); statErr == nil {
			return nil // another process was faster
		}
		return err
	}
	return nil
}

// removeStale removes what processes that were killed while they downloaded have left.
func removeStale(cache string) {
	left, err := filepath.Glob(filepath.Join(cache, stagingPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > stagingLife {
			_ = os.RemoveAll(dir) // it only takes room
		}
	}
}

// cacheFolder avoids root's home, which the user that the server runs as cannot enter.
func cacheFolder(opts *Opts) (string, error) {
	if opts.CacheDir != "" {
		return filepath.Abs(opts.CacheDir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/tidemill", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("folder for downloads: %w", err)
	}
	return filepath.Join(dir, "tidemill"), nil
}
