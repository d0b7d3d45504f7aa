package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Message is a mail, the same for all of its recipients.
type Message struct {
	From        *Address
	ReplyTo     []*Address
	To, CC, BCC []*Address // BCC is in no header
	Subject     string
	Text, HTML  string // at least one; with both, HTML is the alternative that readers prefer
	Attachments []Attachment
	// ID is the Message-ID without its angle brackets, and Date when the mail was first sent. Whoever sends it again says
	// the same, so that receivers can tell it for the one that they have.
	ID   string
	Date time.Time
}

// Attachment is a file of a mail.
type Attachment struct {
	Name    string
	Content []byte
}

// MaxSubject is the longest subject in bytes: what RFC 5322 allows a line, with room for the encoding.
const MaxSubject = 900

// Recipients are the addresses of To, CC and BCC in this order, each once, in their Normal form.
func (m *Message) Recipients() []string {
	var all []string
	seen := map[string]bool{}
	for _, list := range [][]*Address{m.To, m.CC, m.BCC} {
		for _, a := range list {
			address := Normal(a.Address)
			if !seen[address] {
				seen[address] = true
				all = append(all, address)
			}
		}
	}
	return all
}

// Encode writes the mail as RFC 5322 has it. It asks automatic responders for silence (Auto-Submitted, RFC 3834).
func (m *Message) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.SetAddrHeaderFromMailAddress(gomail.HeaderFrom, m.From)
	if len(m.ReplyTo) > 0 {
		msg.SetAddrHeaderFromMailAddress(gomail.HeaderReplyTo, m.ReplyTo...)
	}
	if len(m.To) > 0 {
		msg.SetAddrHeaderFromMailAddress(gomail.HeaderTo, m.To...)
	}
	if len(m.CC) > 0 {
		msg.SetAddrHeaderFromMailAddress(gomail.HeaderCc, m.CC...)
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDateWithValue(m.Date)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	switch {
	case m.Text == "":
		msg.SetBodyString(gomail.TypeTextHTML, m.HTML)
	case m.HTML == "":
		msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	default:
		msg.SetBodyString(gomail.TypeTextPlain, m.Text)
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	for _, a := range m.Attachments {
		msg.AttachReadSeeker(a.Name, bytes.NewReader(a.Content))
	}
	if both := m.Text != "" && m.HTML != ""; !both || len(m.Attachments) == 0 {
		// The library would give one boundary to both levels of a mail that has two, so that one keeps random ones.
		msg.SetBoundary(m.boundary())
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write the mail: %w", err)
	}
	return b.Bytes(), nil
}

func (m *Message) check() error {
	switch {
	case m.From == nil:
		return errors.New("the mail has no sender")
	case m.Text == "" && m.HTML == "":
		return errors.New("the mail has neither text nor HTML")
	case len(m.Subject) > MaxSubject:
		return fmt.Errorf("the subject has %d bytes, and at most %d are allowed", len(m.Subject), MaxSubject)
	case strings.ContainsAny(m.ID, "<> ") || !strings.Contains(m.ID, "@"):
		return fmt.Errorf("the Message-ID %q is not of the form left@right", m.ID)
	}
	lines := []string{m.Subject, m.ID, m.From.Name, m.From.Address}
	for _, list := range [][]*Address{m.ReplyTo, m.To, m.CC} {
		for _, a := range list {
			lines = append(lines, a.Name, a.Address)
		}
	}
	for _, a := range m.Attachments {
		lines = append(lines, a.Name)
	}
	for _, line := range lines {
		if err := CheckLine(line); err != nil {
			return err
		}
	}
	return nil
}

// boundary is the same whenever the mail is, and no param can hold it: it would have to hold its own digest.
func (m *Message) boundary() string {
	h := sha256.New()
	for _, part := range []string{m.ID, m.Subject, m.Text, m.HTML} {
		fmt.Fprintf(h, "%d:%s;", len(part), part)
	}
	for _, a := range m.Attachments {
		fmt.Fprintf(h, "%d:", len(a.Content))
		h.Write(a.Content)
	}
	return hex.EncodeToString(h.Sum(nil))
}
