package kind

import (
	"crypto/sha256"
	"encoding"
	"fmt"
	"hash"

	"github.com/tidemill/tidemill/retry"
)

// DigestState carries a SHA-256 over from one attempt to the next.
func DigestState(h hash.Hash) ([]byte, error) {
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("keep the digest: %w", err)
	}
	return state, nil
}

func DigestFrom(state []byte) (hash.Hash, error) {
	h := sha256.New()
	if len(state) == 0 {
		return h, nil
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, retry.Permanent(fmt.Errorf("continue the digest: %w", err))
	}
	return h, nil
}
