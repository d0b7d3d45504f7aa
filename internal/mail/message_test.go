package mail_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/mail"
)

func message() *mail.Message {
	return &mail.Message{
		From: &mail.Address{Name: "Jöbs", Address: "jobs@example.com"}, To: []*mail.Address{{Address: "a@x.org"}, {Name: "B", Address: "b@X.org"}},
		CC: []*mail.Address{{Address: "b@x.ORG"}}, BCC: []*mail.Address{{Address: "hidden@x.org"}},
		Subject: "Größe: 日本語の件名 " + strings.Repeat("lang ", 30) + "Ende", Text: "Grüße\n.\nfrom a line\n", ID: "1.ab@example.com",
		Date: time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC),
	}
}

// part is a leaf of a decoded mail.
type part struct{ Type, File, Body string }

// leaves decodes a body as a mail reader would.
func leaves(t *testing.T, header textproto.MIMEHeader, body io.Reader) []part {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		switch header.Get("Content-Transfer-Encoding") {
		case "quoted-printable":
			body = quotedprintable.NewReader(body)
		case "base64":
			body = base64.NewDecoder(base64.StdEncoding, body)
		default:
			t.Fatalf("encoding %q", header.Get("Content-Transfer-Encoding"))
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		_, disposition, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
		name, err := (&mime.WordDecoder{}).DecodeHeader(disposition["filename"])
		if err != nil {
			t.Fatal(err)
		}
		return []part{{kind, name, strings.ReplaceAll(string(content), "\r\n", "\n")}}
	}
	var all []part
	r := multipart.NewReader(body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, leaves(t, p.Header, p)...)
	}
}

func decode(t *testing.T, data []byte) (netmail.Header, []part) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, leaves(t, textproto.MIMEHeader(m.Header), m.Body)
}

func TestEncode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*mail.Message)
		want   []part
	}{
		"text":       {func(*mail.Message) {}, []part{{"text/plain", "", "Grüße\n.\nfrom a line\n"}}},
		"html":       {func(m *mail.Message) { m.Text, m.HTML = "", "<p>Hi</p>" }, []part{{"text/html", "", "<p>Hi</p>"}}},
		"both":       {func(m *mail.Message) { m.Text, m.HTML = "Hi", "<p>Hi</p>" }, []part{{"text/plain", "", "Hi"}, {"text/html", "", "<p>Hi</p>"}}},
		"attachment": {func(m *mail.Message) { m.Text = "Hi"; m.Attachments = files() }, append([]part{{"text/plain", "", "Hi"}}, fileParts()...)},
		"all": {
			func(m *mail.Message) { m.Text, m.HTML, m.Attachments = "Hi", "<p>Hi</p>", files() },
			append([]part{{"text/plain", "", "Hi"}, {"text/html", "", "<p>Hi</p>"}}, fileParts()...),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message()
			tt.change(m)
			data, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			header, parts := decode(t, data)
			if diff := cmp.Diff(tt.want, parts); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if subject, err := (&mime.WordDecoder{}).DecodeHeader(header.Get("Subject")); err != nil || subject != m.Subject {
				t.Errorf("subject is %q, %v", subject, err)
			}
			for _, line := range strings.Split(string(data), "\r\n") {
				if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
					t.Errorf("a line is longer than RFC 5322 allows, or ends badly: %q", line)
				}
			}
		})
	}
}

func files() []mail.Attachment {
	return []mail.Attachment{{Name: `Übersicht "1".csv`, Content: []byte("a,b\n")}, {Name: "odd", Content: bytes.Repeat([]byte{0, 1, 2, 255}, 100)}}
}

func fileParts() []part {
	return []part{{"text/csv", "Übersicht _1_.csv", "a,b\n"}, {"application/octet-stream", "odd", strings.Repeat("\x00\x01\x02\xff", 100)}}
}

func TestEncodeHeader(t *testing.T) {
	t.Parallel()
	data, err := message().Encode()
	if err != nil {
		t.Fatal(err)
	}
	header, _ := decode(t, data)
	got := map[string]string{}
	for name := range header {
		if name != "Subject" {
			got[name] = header.Get(name)
		}
	}
	want := map[string]string{
		"Auto-Submitted": "auto-generated", "Cc": "<b@x.ORG>", "Content-Transfer-Encoding": "quoted-printable",
		"Content-Type": "text/plain; charset=UTF-8", "Date": "Sat, 31 Jan 2026 09:00:00 +0000", "From": "=?utf-8?q?J=C3=B6bs?= <jobs@example.com>",
		"Message-Id": "<1.ab@example.com>", "Mime-Version": "1.0", "To": `<a@x.org>, "B" <b@X.org>`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if bytes.Contains(data, []byte("hidden")) {
		t.Error("the BCC shows")
	}
	if diff := cmp.Diff([]string{"a@x.org", "b@x.org", "hidden@x.org"}, message().Recipients()); diff != "" {
		t.Errorf("recipients (-want +got):\n%s", diff)
	}
}

// A repeat of a mail is the same mail.
func TestEncodeRepeats(t *testing.T) {
	t.Parallel()
	m := message()
	m.HTML = "<p>Hi</p>"
	first, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Encode()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("a mail is encoded in two ways (error %v):\n%s\n%s", err, first, second)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*mail.Message)
		want   string
	}{
		"no sender":         {func(m *mail.Message) { m.From = nil }, "the mail has no sender"},
		"no body":           {func(m *mail.Message) { m.Text = "" }, "the mail has neither text nor HTML"},
		"line in subject":   {func(m *mail.Message) { m.Subject = "a\r\nBcc: x@y.z" }, `"a\r\nBcc: x@y.z" has a line break, which a header cannot have`},
		"line in name":      {func(m *mail.Message) { m.To[0].Name = "a\nb" }, `"a\nb" has a line break, which a header cannot have`},
		"line in file name": {func(m *mail.Message) { m.Attachments = []mail.Attachment{{Name: "a\nb"}} }, `"a\nb" has a line break, which a header cannot have`},
		"long subject":      {func(m *mail.Message) { m.Subject = strings.Repeat("a", 901) }, "the subject has 901 bytes, and at most 900 are allowed"},
		"odd ID":            {func(m *mail.Message) { m.ID = "a>b@c" }, `the Message-ID "a>b@c" is not of the form left@right`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := message()
			tt.change(m)
			if _, err := m.Encode(); err == nil || err.Error() != tt.want {
				t.Errorf("error is %v, want %s", err, tt.want)
			}
		})
	}
}
