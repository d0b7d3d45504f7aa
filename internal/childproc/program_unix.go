//go:build unix

package childproc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// find returns the path of the program, to be used in dir. Unlike exec.LookPath it searches the PATH that the command
// will have, and says what is wrong.
func (c *Command) find(env []string) (string, error) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return "", startError("argv names no program")
	}
	if c.Dir != "" {
		switch info, err := os.Stat(c.Dir); {
		case err != nil:
			return "", unreachable("dir "+c.Dir, err)
		case !info.IsDir():
			return "", startError("dir %s is not a directory", c.Dir)
		}
	}
	name := c.Argv[0]
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Dir, path)
		}
		return name, runnable(path)
	}
	search := lookup(env, "PATH")
	var denied error
	for _, dir := range filepath.SplitList(search) {
		if !filepath.IsAbs(dir) { // what is run must not depend on what lies in the current directory
			continue
		}
		path := filepath.Join(dir, name)
		err := runnable(path)
		if err == nil {
			return path, nil
		}
		if _, statErr := os.Stat(path); statErr == nil && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", startError("program %s is not in PATH (%s); write its full path in argv, or set PATH in env", name, search)
}

// runnable tells why the file cannot be run.
func runnable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unreachable("program "+path, err)
	case info.IsDir():
		return startError("program %s is a directory", path)
	case info.Mode()&0o111 == 0:
		return startError("program %s is not executable; run: chmod +x %s", path, path)
	}
	return nil
}

// unreachable says why a file cannot be looked at.
func unreachable(what string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return startError("%s does not exist on this machine", what)
	case errors.Is(err, os.ErrPermission):
		return startError("%s is in a directory that this user may not enter", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// explain says what the error of a start means for a program that is there.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return startError("program %s: the interpreter that it names does not exist; look at its first line (#!)", path)
	case errors.Is(err, syscall.ENOEXEC):
		return startError("program %s is neither for this machine nor a script with an interpreter in its first line (#!)", path)
	case errors.Is(err, syscall.EACCES):
		return startError("program %s may not be run by this user: %v", path, err)
	case errors.Is(err, syscall.E2BIG):
		return startError("program %s: the arguments and the environment are too long", path)
	case errors.Is(err, syscall.EINVAL):
		return startError("program %s: argv, dir or env contains a NUL byte, or the file is broken: %v", path, err)
	}
	return fmt.Errorf("start %s: %w", path, err)
}

// lookup is the value of an environment's variable.
func lookup(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value
		}
	}
	return ""
}
