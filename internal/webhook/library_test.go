package webhook_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/webhook"
)

// What we sign is checked by the specification's own library for Node. Needs node and npm, and the network or npm's cache
// at the first run.
func TestLibraryAcceptsOurs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const raw = "a text that is no base64"
	type request struct {
		Secret  string            `json:"secret"` // of the receiver
		Raw     bool              `json:"raw"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	sign := func(receiver string, at time.Time, body string, senders ...string) request {
		h := webhook.Sign(secrets(t, senders...), "42", at, []byte(body))
		return request{
			Secret: receiver, Raw: receiver == raw, Body: body,
			Headers: map[string]string{webhook.IDHeader: h.ID, webhook.TimestampHeader: h.Timestamp, webhook.SignatureHeader: h.Signature},
		}
	}
	forged := sign(first, now, `{"a":1}`, first)
	forged.Body = `{"a":2}`
	requests := []request{
		sign(first, now, `{"job":"user-webhook","params":{"name":"Zoë 🙂"}}`, first),
		sign(second, now, `{}`, first, second), // while the secret is being replaced
		sign(raw, now, `{}`, raw),
		sign(second, now, `{}`, first),
		forged,
		sign(first, now.Add(-time.Hour), `{}`, first),
	}
	want := []string{"ok", "ok", "ok", "No matching signature found", "No matching signature found", "Message timestamp too old"}

	var input bytes.Buffer
	lines := json.NewEncoder(&input)
	for _, r := range requests {
		if err := lines.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", "verify.mjs")
	cmd.Dir, cmd.Stdin = library(t), &input
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v (this test needs Node): %v\n%s", cmd.Args, err, &stderr)
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSpace(string(out)), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// library is a folder with verify.mjs and what it needs, installed once for each lock file.
func library(t *testing.T) string {
	t.Helper()
	files := map[string][]byte{}
	hash := sha256.New()
	for _, name := range []string{"package-lock.json", "package.json", "verify.mjs"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
		hash.Write(content)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir() // no HOME: installed for this run
	}
	cache = filepath.Join(cache, "tidemill-test")
	dir := filepath.Join(cache, "standardwebhooks-"+hex.EncodeToString(hash.Sum(nil))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir
	}

	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	// Installed beside it and then renamed: other test binaries may be at it, too, and half a folder is never seen.
	fresh, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(fresh) })
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v (this test needs npm): %v\n%s", cmd.Args, err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return dir
}
