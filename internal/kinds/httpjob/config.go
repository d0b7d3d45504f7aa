package httpjob

import (
	"encoding/base64"
	"maps"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

const kindName = "http"

// configKind sends a request to a program of the user's.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Doc: "Sends a request to a program of yours. Any answer of 2xx is success; 410 ends the job for good.",
	}, fields())
}

// Config is what a job of kind http does.
type Config struct {
	URL     string
	Method  string            // GET, POST, PUT, PATCH or DELETE; those without body are GET and DELETE
	Headers map[string]string // by canonical name
	// Secrets sign the request as Standard Webhooks has it, each with a signature of its own, so that a secret can be
	// replaced without a gap. None: the request is not signed.
	//
	// A secret is whsec_ with the base64 of the key after it, or the key itself.
	Secrets     []string
	Timeout     time.Duration // of one attempt, response included
	MaxResponse int           // bytes of the response's body that are kept
}

// httpFields are the further fields of a job of kind http.
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("url", field.Text{Words: "URL `http://…` or `https://…`", Secret: true, Check: checkHTTPURL}, "", "Where the request goes.",
			func(h *Config) *string { return &h.URL }).Require(),
		field.Row("method", field.Choice{"GET", "POST", "PUT", "PATCH", "DELETE"}, "POST", "Method of the request; `GET` and `DELETE` have no body.",
			func(h *Config) *string { return &h.Method }),
		field.Row("headers", field.NamedTexts{Words: "mapping from name to text", Name: headerName, Value: checkHeader}, "", "Further headers of the request, such as `{Authorization: \"Bearer ${TOKEN}\"}`. `Host`, the headers that frame a request, and names that begin with `Webhook-` or `Tidemill-` are not yours to set.",
			func(h *Config) *map[string]string { return &h.Headers }),
		field.Row("secret", field.TextOrTexts{Words: "text, or list of texts", Each: field.Text{Secret: true, Check: checkSecret}}, "", "Signs the request as [Standard Webhooks](https://www.standardwebhooks.com) has it: `whsec_` and the base64 of 24 to 64 bytes, or any other text of at least 16 bytes, which is the key itself. With several, each gives a signature, so that one can be replaced without a gap.",
			func(h *Config) *[]string { return &h.Secrets }),
		field.Row("timeout", field.Duration{Min: time.Second, Max: time.Hour}, "30s", "Longest time of one attempt, answer included.",
			func(h *Config) *time.Duration { return &h.Timeout }),
		field.Row("max_response", field.Size{Min: 0, Max: 1 << 20}, "16KiB", "As much of the answer's body is kept.",
			func(h *Config) *int { return &h.MaxResponse }),
	}
}

type httpDefinition struct {
	URL, Method string
	Headers     []string // names: a value may be a password that changes every month
}

// Check has nothing to add to the checks of the fields.
func (*Config) Check(*config.Checker, *config.Job, field.Path) {}

// Identity is the address, the method and the names of the headers.
func (h *Config) Identity() (string, any) {
	return "HTTP", httpDefinition{URL: h.URL, Method: h.Method, Headers: slices.Sorted(maps.Keys(h.Headers))}
}

// Limits are the other fields that are no secret.
func (h *Config) Limits() []any { return []any{h.Timeout, h.MaxResponse} }

func checkHTTPURL(s string) (problem, hint string) {
	const example = "write it like https://app.example.com/jobs"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return "is not a URL of scheme http or https", example
	case u.User != nil:
		return "holds a user or password", "put it into headers, as Authorization"
	case !config.IsHost(u):
		return "has no valid host and port", example
	case u.Fragment != "":
		return "has a fragment, which no server sees", "remove # and what follows, or write it as %23"
	}
	return "", ""
}

// tokenRE is the form of a header's name (RFC 9110).
var tokenRE = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// headerName gives a header its canonical name.
func headerName(key string) (name, problem, hint string) {
	if !tokenRE.MatchString(key) {
		return "", "is not the name of a header", "letters, digits and -"
	}
	name = textproto.CanonicalMIMEHeaderKey(key)
	framing := []string{"Connection", "Content-Length", "Expect", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
	if slices.Contains(framing, name) || strings.HasPrefix(name, "Webhook-") || strings.HasPrefix(name, "Tidemill-") {
		return "", "is set by Tidemill", "remove it"
	}
	return name, "", ""
}

func checkHeader(s string) (problem, hint string) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "holds a line end or another control character", "a header is one line"
	}
	return "", ""
}

// checkSecret knows the two forms of a key; the bounds of the first are those of Standard Webhooks.
func checkSecret(s string) (problem, hint string) {
	const example = "make one with: echo whsec_$(openssl rand -base64 32)"
	encoded, isEncoded := strings.CutPrefix(s, "whsec_")
	if !isEncoded {
		if len(s) < 16 {
			return "is shorter than 16 bytes", example
		}
		return "", ""
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return "has no base64 after whsec_", example
	case len(key) < 24 || len(key) > 64:
		return "is not of 24 to 64 bytes", example
	}
	return "", ""
}
