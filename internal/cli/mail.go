package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers"
	"github.com/tidemill/tidemill/workers/kind"
)

func (m *Main) mailCmd() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "mail",
		Short: "Preview mails and test the mail settings",
		Example: `  tidemill mail preview welcome --param email=jo@example.com --param name=Jo
  tidemill mail send-test jo@example.com`,
	})
	cmd.AddCommand(m.mailPreviewCmd(), m.mailTestCmd())
	return cmd
}

func (m *Main) mailPreviewCmd() *cobra.Command {
	var given []string
	var object string
	var html, text, eml bool
	cmd := &cobra.Command{
		Use: "preview JOB", Short: "Render the mail of a job; nothing is sent", Args: args(1, 1),
		Long: `Renders the mail of a job of kind email with the params given, and prints it. Nothing is sent and no database is needed.

Without a form, the header is printed with the text, or with the HTML of a mail that has no text.`,
		Example: `  tidemill mail preview welcome --param email=jo@example.com --html > welcome.html`,
		RunE: func(_ *cobra.Command, args []string) error {
			params, err := parseParams(given, object)
			if err != nil {
				return err
			}
			preview, err := m.preview(args[0], params)
			if err != nil {
				return err
			}
			switch {
			case eml:
				_, err = m.Stdout.Write(preview.EML)
			case html:
				err = printForm(m.Stdout, preview.HTML, "HTML")
			case text:
				err = printForm(m.Stdout, preview.Text, "text")
			case m.json:
				err = m.printJSON(preview)
			default:
				err = m.printMail(preview)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&given, "param", "p", nil, "a param, as `name=value`; may be given several times")
	flags.StringVar(&object, "params", "", "params as a `JSON` object")
	flags.BoolVar(&html, "html", false, "print the HTML only")
	flags.BoolVar(&text, "text", false, "print the text only")
	flags.BoolVar(&eml, "eml", false, "print the whole mail as it goes to the server")
	cmd.MarkFlagsMutuallyExclusive("param", "params")
	cmd.MarkFlagsMutuallyExclusive("html", "text", "eml")
	return cmd
}

func (m *Main) preview(name string, given map[string]any) (*kind.MailPreview, error) {
	cfg, err := m.loadConfig()
	if err != nil {
		return nil, err
	}
	def, ok := cfg.Jobs[name]
	mailer, mails := m.mailer()
	if !ok || def.Kind != mails {
		return nil, &usageError{err: fmt.Errorf("job %q of kind %s is not in the configuration", name, mails), hint: "its mails: " + mailJobs(cfg, mails)}
	}
	params, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	preview, err := mailer.Preview(def, cfg.Mail, params, time.Now().In(cfg.Location()))
	if _, ok := errors.AsType[*config.ParamError](err); ok {
		return nil, &usageError{err: err, hint: "--param name=value"}
	}
	return preview, err
}

// mailer is the kind that sends mail, and its name.
func (m *Main) mailer() (*kind.Mail, string) {
	for _, k := range append(workers.All(), m.Kinds...) {
		if k.Mail != nil {
			return k.Mail, k.Name
		}
	}
	return nil, ""
}

func mailJobs(cfg *config.Config, mails string) string {
	var names []string
	for name, job := range cfg.Jobs {
		if job.Kind == mails {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func printForm(w io.Writer, body, form string) error {
	if body == "" {
		return fmt.Errorf("the mail has no %s", form)
	}
	_, err := io.WriteString(w, body)
	return err
}

func (m *Main) printMail(p *kind.MailPreview) error {
	var b strings.Builder
	line := func(name string, values ...string) {
		if len(values) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", name, printable(strings.Join(values, ", ")))
		}
	}
	line("From", p.From)
	line("To", p.To...)
	line("Cc", p.CC...)
	line("Bcc", p.BCC...)
	line("Subject", p.Subject)
	line("Attached", p.Attach...)
	body := p.Text
	if body == "" {
		body = p.HTML
	}
	fmt.Fprintf(&b, "\n%s\n", printable(strings.TrimRight(body, "\r\n")))
	_, err := io.WriteString(m.Stdout, b.String())
	return err
}

// testTimeout bounds send-test; a person waits for it.
const testTimeout = time.Minute

func (m *Main) mailTestCmd() *cobra.Command {
	return &cobra.Command{
		Use: "send-test ADDRESS", Short: "Send a short mail to see whether the mail settings work", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := m.loadConfig()
			if err != nil {
				return err
			}
			if cfg.Mail.URL == "" || cfg.Mail.From == "" {
				return withHint(errors.New("no mail server is configured"), `set mail: {url: "smtp://user:password@host:587", from: jobs@example.com} in tidemill.yaml`)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, testTimeout)
			defer cancel()
			mailer, _ := m.mailer()
			id, server, err := mailer.SendTest(ctx, cfg.Mail, args[0])
			if err != nil {
				return err
			}
			if m.json {
				return m.printJSON(map[string]string{"to": args[0], "server": server, "message_id": id})
			}
			_, err = fmt.Fprintf(m.Stdout, "%s took the mail to %s; its Message-ID is <%s>\n", server, args[0], id)
			return err
		},
	}
}
