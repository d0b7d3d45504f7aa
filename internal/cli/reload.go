package cli

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tidemill/tidemill/config"
)

// lookAtFile is how often the file of a configuration with reload: auto is looked at.
const lookAtFile = time.Second

// reloads finds the next configuration of a process that continues with it.
type reloads struct {
	m       *Main
	logger  *slog.Logger
	check   func(*config.Config) error // beyond what the file itself must be
	hangups chan os.Signal
}

func (m *Main) newReloads(logger *slog.Logger, check func(*config.Config) error) *reloads {
	r := &reloads{m: m, logger: logger, check: check, hangups: make(chan os.Signal, 1)}
	signal.Notify(r.hangups, syscall.SIGHUP)
	return r
}

func (r *reloads) stop() { signal.Stop(r.hangups) }

// next waits for the configuration that comes after old, and returns nil when ctx ends. One with a mistake is refused.
func (r *reloads) next(ctx context.Context, old *config.Config) *config.Config {
	tick := time.NewTicker(lookAtFile)
	defer tick.Stop()
	file := &watchedFile{m: r.m, path: old.File, inForce: r.m.loaded}
	for {
		why := "SIGHUP"
		select {
		case <-ctx.Done():
			return nil
		case <-r.hangups:
		case <-tick.C:
			if old.Reload != config.ReloadAuto || old.File == "" || !file.changed() {
				continue
			}
			why = old.File + " has changed"
		}
		found, err := r.m.reload(old)
		if err == nil {
			err = r.check(found)
		}
		switch {
		case err != nil:
			r.logger.ErrorContext(ctx, why+": the new configuration is refused, the old one stays", "error", err)
		case why != "SIGHUP" && found.Same(old):
			r.logger.InfoContext(ctx, why+", and says the same as before")
		default:
			r.logger.InfoContext(ctx, why+": taking the new configuration")
			return found
		}
	}
}

// watchedFile is the file of a configuration.
type watchedFile struct {
	m       *Main
	path    string
	inForce string // the digest of what is in force
	pending string // the digest that was seen last, if it is another one
}

// changed reports whether the file holds what was not read yet, and stays so: whoever writes it may be in the middle.
func (f *watchedFile) changed() bool {
	digest := fileDigest(f.path)
	if digest != f.m.loaded && digest != f.pending {
		f.pending = digest
		return false
	}
	f.pending = ""
	if digest == f.inForce { // perhaps again, after one with a mistake
		f.m.loaded = digest
	}
	return digest != f.m.loaded
}

// fileDigest tells contents of a file apart; all that cannot be read are one.
func fileDigest(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%x", sum)
}

// reload reads the configuration again. What up found or made for the old one, its database and storage, stays.
func (m *Main) reload(old *config.Config) (*config.Config, error) {
	cfg, err := m.loadConfig()
	if err != nil {
		return nil, err
	}
	if old.File != "" && cfg.File == "" { // the defaults have no jobs, and applying them would remove all
		return nil, fmt.Errorf("%s is gone", old.File)
	}
	if cfg.Database.URL == "" {
		cfg.Database.URL = old.Database.URL
	}
	if cfg.Storage.URL == "" {
		cfg.Storage.URL = old.Storage.URL
	}
	return cfg, nil
}
