package exportjob

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/storage"
)

// Result is kept with a run that has ended well.
type Result struct {
	Object      string    `json:"object"` // of the manifest
	Rows        int64     `json:"rows"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"` // of the whole file, in hexadecimal
	Parts       int       `json:"parts"`
	Format      string    `json:"format"`
	Compression string    `json:"compression"`
	Consistency string    `json:"consistency"`
	Defused     int64     `json:"defused,omitempty"` // cells with a ' in front, as Config.Formulas says
	ExpiresAt   time.Time `json:"expires_at"`
}

// ReadResult reads the result of a run of kind export.
func ReadResult(result json.RawMessage) (*Result, error) {
	var r Result
	if err := json.Unmarshal(result, &r); err != nil || r.Object == "" {
		return nil, errors.New("the run has written no file")
	}
	return &r, nil
}

// exportVersion is that of the manifest's form.
const exportVersion = 1

// Manifest lists the parts of a file. One after the other they are the file.
type Manifest struct {
	Version     int          `json:"version"`
	Run         int64        `json:"run"`
	Job         string       `json:"job"`
	Format      string       `json:"format"`
	Compression string       `json:"compression"`
	CSV         *CSV         `json:"csv,omitempty"`
	Consistency string       `json:"consistency"`     // keyset: each row as it was when it was read, between StartedAt and WrittenAt
	AsOf        *time.Time   `json:"as_of,omitempty"` // the instant of a snapshot
	StartedAt   time.Time    `json:"started_at"`
	WrittenAt   time.Time    `json:"written_at"`
	Rows        int64        `json:"rows"`
	Bytes       int64        `json:"bytes"`
	SHA256      string       `json:"sha256"` // of the whole file
	Defused     int64        `json:"defused,omitempty"`
	Parts       []exportPart `json:"parts"`
}

// CSV says how CSV is written.
type CSV struct {
	Header    bool   `json:"header"`
	Delimiter string `json:"delimiter"`
	LineEnd   string `json:"line_end"`
	BOM       bool   `json:"bom,omitempty"`
	Null      string `json:"null_as"`
	Formulas  string `json:"formulas"`
}

// ReadManifest reads the manifest of a run that has this result. One that was changed in the storage is an error.
func ReadManifest(ctx context.Context, bucket *storage.Bucket, result *Result) (*Manifest, error) {
	object := result.Object
	r, err := bucket.Reader(ctx, object, 0)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("the exported file has expired, or this storage is not that of the worker: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m := &Manifest{}
	if err := json.NewDecoder(bufio.NewReader(r)).Decode(m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", object, err)
	}
	if m.Version != exportVersion {
		return nil, fmt.Errorf("manifest %s is of version %d, and this program knows %d", object, m.Version, exportVersion)
	}
	if m.Rows != result.Rows || m.Bytes != result.Bytes || m.SHA256 != result.SHA256 || len(m.Parts) != result.Parts {
		return nil, fmt.Errorf("manifest %s lists %d rows, %d bytes and %d parts, and the run has written %d, %d and %d; it was changed in the storage",
			object, m.Rows, m.Bytes, len(m.Parts), result.Rows, result.Bytes, result.Parts)
	}
	return m, nil
}
