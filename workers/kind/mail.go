package kind

import (
	"context"
	"time"

	"github.com/tidemill/tidemill/config"
)

// Mail is how people see a mail before it is sent.
type Mail struct {
	// Preview renders the mail of a job as a run that is due at due would.
	Preview func(job *config.Job, mail config.Mail, params []byte, due time.Time) (*MailPreview, error)
	// SendTest sends a short mail to one address, and returns its Message-ID and the server without user and password.
	SendTest func(ctx context.Context, mail config.Mail, to string) (id, server string, err error)
}

// MailPreview is a mail as a run would send it, but for its Message-ID.
type MailPreview struct {
	From    string   `json:"from"`
	To      []string `json:"to"`
	CC      []string `json:"cc,omitempty"`
	BCC     []string `json:"bcc,omitempty"`
	Subject string   `json:"subject"`
	Text    string   `json:"text,omitempty"`
	HTML    string   `json:"html,omitempty"`
	Attach  []string `json:"attach,omitempty"` // names
	EML     []byte   `json:"-"`                // the whole mail, as RFC 5322 has it
}
