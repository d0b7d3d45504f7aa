package emailjob

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/mail"
	"github.com/tidemill/tidemill/workers/kind"
)

// PreviewMail renders the mail of a job of kind email as a run due at due would, and sends nothing. The run's id is 0.
// A param that the job does not take is a [*config.ParamError].
func PreviewMail(def *config.Job, m config.Mail, params json.RawMessage, due time.Time) (*kind.MailPreview, error) {
	if _, ok := def.Spec.(*Config); !ok {
		return nil, fmt.Errorf("job %s is of kind %s, not email", def.Name, def.Kind)
	}
	templates, err := mail.Load(m.Templates)
	if err != nil {
		return nil, err
	}
	values, err := def.ResolveParams(params, due)
	if err != nil {
		return nil, err
	}
	about := mail.About{Job: def.Name, Due: due}
	c := composer{def: def, mail: m, templates: templates, data: mail.Data(values), about: about}
	message, err := c.compose()
	if err != nil {
		return nil, err
	}
	message.ID, message.Date = messageID(message.From.Address, "0", def.Name), due
	eml, err := message.Encode()
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", def.Name, err)
	}
	p := &kind.MailPreview{
		From: message.From.String(), To: addressTexts(message.To), CC: addressTexts(message.CC), BCC: addressTexts(message.BCC),
		Subject: message.Subject, Text: message.Text, HTML: message.HTML, EML: eml,
	}
	for _, a := range message.Attachments {
		p.Attach = append(p.Attach, a.Name)
	}
	return p, nil
}

func addressTexts(list []*mail.Address) []string {
	var all []string
	for _, a := range list {
		all = append(all, a.String())
	}
	return all
}

// CheckLive finds what keeps the mails of the configured jobs from being made, whatever their params: a wrong mail.url,
// templates that are missing or do not parse, with file and line.
func CheckLive(m config.Mail, jobs []*config.Job) error {
	var problems []error
	if m.URL != "" {
		if _, err := mail.ParseServer(m.URL); err != nil {
			problems = append(problems, fmt.Errorf("mail.url: %w", err))
		}
	}
	templates, err := mail.Load(m.Templates)
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	for _, def := range jobs {
		if _, ok := def.Spec.(*Config); !ok {
			continue
		}
		c := composer{def: def, templates: templates}
		if _, err := c.template(); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// SendTest sends a short mail to one address, and returns its Message-ID and the server without user and password.
func SendTest(ctx context.Context, m config.Mail, to string) (id, server string, err error) {
	target, err := mail.ParseServer(m.URL)
	if err != nil {
		return "", "", fmt.Errorf("mail.url: %w", err)
	}
	recipients, err := mail.ParseAddresses(to)
	if err != nil || len(recipients) != 1 {
		return "", "", errors.Join(errors.New("one address is needed"), err)
	}
	from, err := mail.ParseAddresses(m.From)
	if err != nil || len(from) != 1 {
		return "", "", errors.Join(errors.New("mail.from is not set"), err)
	}
	now := time.Now()
	message := &mail.Message{
		From: from[0], To: recipients, Subject: "Test mail from Tidemill", Date: now,
		Text: "This mail shows that the mail settings of Tidemill work.\n",
		ID:   messageID(from[0].Address, "test-"+strings.ToLower(rand.Text()[:12])),
	}
	data, err := message.Encode()
	if err != nil {
		return "", "", err
	}
	session, err := mail.Dial(ctx, target)
	if err != nil {
		return "", "", err
	}
	defer session.Close()
	envelope := mail.Envelope{From: from[0].Address, To: mail.Normal(recipients[0].Address), Data: data}
	err = session.Send(ctx, envelope, func(context.Context) error { return nil })
	return message.ID, target.String(), err
}
