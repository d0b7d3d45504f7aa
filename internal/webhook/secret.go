package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

const (
	prefix = "whsec_"
	// The specification asks for 24 to 64 bytes, and has an example with 18; fewer than 16 could be guessed from a signature.
	minKey    = 16
	howToMake = "make one with: echo whsec_$(openssl rand -base64 32)"
	redacted  = "[secret]"
)

// Secret is what sender and receiver both know. It prints as [secret].
type Secret struct{ key []byte }

// ParseSecret reads a secret in the form of the specification, whsec_ followed by the key in base64, or any other text,
// whose bytes are then the key. A key has 16 bytes or more. The error never shows the secret.
//
// The libraries of the specification take a text without whsec_ for base64, so a receiver that uses one must know that
// such a key is raw.
func ParseSecret(s string) (Secret, error) {
	key := []byte(s)
	if text, standard := strings.CutPrefix(s, prefix); standard {
		var err error
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return Secret{}, errors.New("what follows " + prefix + " in the secret is not base64; " + howToMake)
		}
	}
	if len(key) < minKey {
		return Secret{}, fmt.Errorf("the key of the secret has %d bytes, fewer than %d; %s", len(key), minKey, howToMake)
	}
	return Secret{key}, nil
}

// ParseSecrets reads several. The error says which of them is wrong, counted from 1.
func ParseSecrets(texts []string) ([]Secret, error) {
	secrets := make([]Secret, len(texts))
	for i, text := range texts {
		var err error
		if secrets[i], err = ParseSecret(text); err != nil {
			return nil, fmt.Errorf("secret %d of %d: %w", i+1, len(texts), err)
		}
	}
	return secrets, nil
}

// String hides the secret.
func (Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (Secret) GoString() string { return redacted }

// LogValue hides the secret from logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
