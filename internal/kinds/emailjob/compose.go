package emailjob

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/mail"
)

// maxAttached bounds the attachments of a mail together, in bytes. Servers take 10 to 50 MiB, and a third is added on the way.
const maxAttached = 25 << 20

// errAttachment is an attachment that is not there.
var errAttachment = errors.New("no attachment")

// composer makes the mail of one run.
type composer struct {
	def       *config.Job
	mail      config.Mail
	templates *mail.Templates
	data      map[string]any
	about     mail.About
}

// compose renders all but the Message-ID and the date.
func (c *composer) compose() (*mail.Message, error) {
	e := c.def.Spec.(*Config)
	m := &mail.Message{}
	var err error
	from, err := mail.ParseAddresses(cmp.Or(e.From, c.mail.From))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.place("from"), err)
	}
	if len(from) != 1 {
		return nil, fmt.Errorf("%s: one sender is needed, and there are %d; set it there, or mail.from", c.place("from"), len(from))
	}
	m.From = from[0]
	if m.ReplyTo, err = mail.ParseAddresses(e.ReplyTo); err != nil {
		return nil, fmt.Errorf("%s: %w", c.place("reply_to"), err)
	}
	for _, list := range []struct {
		name    string
		sources []string
		target  *[]*mail.Address
	}{{"to", e.To, &m.To}, {"cc", e.CC, &m.CC}, {"bcc", e.BCC, &m.BCC}} {
		if *list.target, err = c.addresses(list.name, list.sources); err != nil {
			return nil, err
		}
	}
	if len(m.To) == 0 {
		return nil, fmt.Errorf("%s: the mail has no recipient; its template gives no address", c.place("to"))
	}
	if m.Subject, err = mail.RenderLine(c.place("subject"), e.Subject, c.data, c.about); err != nil {
		return nil, err
	}
	if err := c.body(m); err != nil {
		return nil, err
	}
	m.Attachments, err = c.attachments()
	return m, err
}

// place is where in the configuration something stands.
func (c *composer) place(field string) string { return "jobs." + c.def.Name + "." + field }

func (c *composer) addresses(name string, sources []string) ([]*mail.Address, error) {
	var all []*mail.Address
	for i, source := range sources {
		place := c.place(name)
		if len(sources) > 1 {
			place = fmt.Sprintf("%s[%d]", place, i)
		}
		text, err := mail.RenderLine(place, source, c.data, c.about)
		if err != nil {
			return nil, err
		}
		list, err := mail.ParseAddresses(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func (c *composer) body(m *mail.Message) error {
	template, err := c.template()
	if err != nil {
		return err
	}
	if m.Text, m.HTML, err = template.Render(c.data, c.about); err != nil {
		return fmt.Errorf("job %s: %w", c.def.Name, err)
	}
	if strings.TrimSpace(m.Text+m.HTML) == "" {
		return fmt.Errorf("job %s: the mail is empty; its template gives no text", c.def.Name)
	}
	return nil
}

func (c *composer) template() (*mail.Template, error) {
	e := c.def.Spec.(*Config)
	if e.Template == "" {
		return c.templates.Parse(mail.Inline("jobs."+c.def.Name, e.Text, e.HTML))
	}
	template, err := c.templates.Named(e.Template)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", c.def.Name, err)
	}
	return template, nil
}

func (c *composer) attachments() ([]mail.Attachment, error) {
	var all []mail.Attachment
	left := int64(maxAttached)
	for _, path := range c.def.Spec.(*Config).Attach {
		content, err := readAttachment(path, left)
		if err != nil {
			return nil, fmt.Errorf("job %s: attach: %w", c.def.Name, err)
		}
		left -= int64(len(content))
		all = append(all, mail.Attachment{Name: filepath.Base(path), Content: content})
	}
	return all, nil
}

// readAttachment reads a file of at most so many bytes, however much it grows meanwhile.
func readAttachment(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: a pipe would wait for its writer
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAttachment, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAttachment, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAttachment, err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%s: the attachments have more than %d MiB together; put large files into storage and send a link", path, maxAttached>>20)
	}
	return content, nil
}

// messageID is a Message-ID without its brackets. Its right side is the sender's domain, as mail servers like it, unless that
// has letters that no Message-ID may have.
func messageID(from, run string, parts ...string) string {
	domain := mail.Normal(from)
	domain = domain[strings.LastIndexByte(domain, '@')+1:]
	if strings.ContainsFunc(domain, func(r rune) bool { return r > unicode.MaxASCII || strings.ContainsRune("<>[] ", r) }) {
		domain = "tidemill.invalid"
	}
	h := sha256.New()
	for _, part := range append(parts, run) {
		fmt.Fprintf(h, "%d:%s;", len(part), part)
	}
	return fmt.Sprintf("%s.%s@%s", run, hex.EncodeToString(h.Sum(nil)[:10]), domain)
}
