package workers

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/tidemill/tidemill/internal/rowout"
	"github.com/tidemill/tidemill/internal/storage"
)

// ExportResult is kept with a run that has ended well.
type ExportResult struct {
	Object      string    `json:"object"` // of the manifest
	Rows        int64     `json:"rows"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"` // of the whole file, in hexadecimal
	Parts       int       `json:"parts"`
	Format      string    `json:"format"`
	Compression string    `json:"compression"`
	Consistency string    `json:"consistency"`
	Defused     int64     `json:"defused,omitempty"` // cells with a ' in front, as config.Export.Formulas says
	ExpiresAt   time.Time `json:"expires_at"`
}

// ReadExportResult reads the result of a run of kind export.
func ReadExportResult(result json.RawMessage) (*ExportResult, error) {
	var r ExportResult
	if err := json.Unmarshal(result, &r); err != nil || r.Object == "" {
		return nil, errors.New("the run has written no file")
	}
	return &r, nil
}

// exportVersion is that of the manifest's form.
const exportVersion = 1

// ExportManifest lists the parts of a file. One behind the other they are the file.
type ExportManifest struct {
	Version     int          `json:"version"`
	Run         int64        `json:"run"`
	Job         string       `json:"job"`
	Format      string       `json:"format"`
	Compression string       `json:"compression"`
	CSV         *ExportCSV   `json:"csv,omitempty"`
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

// ExportCSV says how CSV is written.
type ExportCSV struct {
	Header    bool   `json:"header"`
	Delimiter string `json:"delimiter"`
	LineEnd   string `json:"line_end"`
	BOM       bool   `json:"bom,omitempty"`
	Null      string `json:"null_as"`
	Formulas  string `json:"formulas"`
}

// ReadExport reads a manifest.
func ReadExport(ctx context.Context, bucket *storage.Bucket, object string) (*ExportManifest, error) {
	r, err := bucket.Reader(ctx, object, 0)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("the exported file has expired, or this storage is not that of the worker: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	m := &ExportManifest{}
	if err := json.NewDecoder(bufio.NewReader(r)).Decode(m); err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", object, err)
	}
	if m.Version != exportVersion {
		return nil, fmt.Errorf("manifest %s is of version %d, and this program knows %d", object, m.Version, exportVersion)
	}
	return m, nil
}

// Copy writes the file to w, and fails if it is not what was written. progress, if set, is called with the bytes so far.
func (m *ExportManifest) Copy(ctx context.Context, bucket *storage.Bucket, w io.Writer, progress func(int64)) error {
	whole := sha256.New()
	var done int64
	for i := range m.Parts {
		n, err := copyPart(ctx, bucket, &m.Parts[i], io.MultiWriter(w, whole))
		if err != nil {
			return err
		}
		done += n
		if progress != nil {
			progress(done)
		}
	}
	if got := hex.EncodeToString(whole.Sum(nil)); got != m.SHA256 || done != m.Bytes {
		return fmt.Errorf("the file has %d bytes and SHA-256 %s, and should have %d and %s; its parts were changed in the storage", done, got, m.Bytes, m.SHA256)
	}
	return nil
}

// copyPart copies a part and checks it.
func copyPart(ctx context.Context, bucket *storage.Bucket, part *exportPart, w io.Writer) (int64, error) {
	r, err := bucket.Reader(ctx, part.Object, 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	sum := crc32.New(rowout.Castagnoli())
	n, err := io.CopyBuffer(io.MultiWriter(w, sum), onlyReader{r}, make([]byte, 256<<10))
	if err != nil {
		return n, fmt.Errorf("copy part %s: %w", part.Object, err)
	}
	if got := crcText(sum.Sum32()); n != part.Bytes || got != part.CRC32C {
		return n, fmt.Errorf("part %s has %d bytes and CRC-32C %s, and had %d and %s when it was written", part.Object, n, got, part.Bytes, part.CRC32C)
	}
	return n, nil
}

// onlyReader hides other methods, so that the copy goes through the buffer that it is given.
type onlyReader struct{ io.Reader }
