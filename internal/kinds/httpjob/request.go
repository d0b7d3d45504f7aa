package httpjob

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/webhook"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// AttemptHeader counts the attempts of a request, from 1.
const AttemptHeader = "Tidemill-Attempt"

const maxRedirects = 5

// httpCall is the request of one attempt.
type httpCall struct {
	// transport and not a client: a client has redirects, cookies and error texts of its own.
	transport   http.RoundTripper
	method      string
	url         *url.URL
	header      http.Header
	body        []byte
	timeout     time.Duration // of all of it
	clock       kind.Clock
	maxResponse int
	echoes      []string // that no answer may show
}

// httpTransport is the way to every server, with bounds on what one of them can cost us.
func httpTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    32,
		MaxResponseHeaderBytes: 64 << 10,
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
	}
}

// prepare makes the request of this attempt. An error in the params is permanent, for they are the job's arguments; one in
// the definition is not, for a deploy may fix it.
func (w *Worker) prepare(job *river.Job[Args], def *config.Job) (*httpCall, error) {
	d := def.Spec.(*Config)
	target, err := url.Parse(d.URL)
	if err != nil {
		return nil, errors.New("its url cannot be read; run: tidemill config check") // the error would show all of it
	}
	secrets, err := webhook.ParseSecrets(d.Secrets)
	if err != nil {
		return nil, err
	}
	c := &httpCall{
		transport: w.transport, method: d.Method, url: target, header: http.Header{}, timeout: d.Timeout, maxResponse: d.MaxResponse, clock: w.deps.Clock,
	}
	c.header.Set("User-Agent", "Tidemill/"+w.deps.Version)
	id := kind.UniqueID(job.JobRow)
	if c.hasBody() {
		due := job.Args.Due(job.JobRow, w.deps.Location)
		params, err := def.ResolveParams(job.Args.Params, due)
		if err != nil {
			return nil, retry.Permanent(err)
		}
		c.body, err = json.Marshal(job.Args.Payload(job.JobRow, params, due))
		if err != nil {
			return nil, retry.Permanent(fmt.Errorf("encode the params: %w", err))
		}
		c.header.Set("Content-Type", "application/json")
	}
	for name, value := range d.Headers {
		c.header.Set(name, value)
	}
	c.header.Set(AttemptHeader, strconv.Itoa(job.Attempt))
	c.header.Set(webhook.IDHeader, id)
	if len(secrets) > 0 {
		webhook.Sign(secrets, id, w.deps.Clock.Now(), c.body).Set(c.header)
	}
	c.echoes = echoes(d.Headers, c.header.Get(webhook.SignatureHeader), target.Query())
	return c, nil
}

func (c *httpCall) hasBody() bool { return c.method != http.MethodGet && c.method != http.MethodDelete }

// String names the request without what may be secret.
func (c *httpCall) String() string { return c.method + " " + plainURL(c.url) }

// send sends the request and follows redirects within the same scheme, host and port: the headers may hold secrets. The
// response is not nil if there was one; with an error its body is closed.
func (c *httpCall) send(ctx context.Context) (*http.Response, error) {
	target := c.url
	for redirects := 0; ; redirects++ {
		var body io.Reader
		if c.hasBody() {
			body = bytes.NewReader(c.body)
		}
		req, err := http.NewRequestWithContext(ctx, c.method, target.String(), body)
		if err != nil {
			return nil, fmt.Errorf("%s: the request cannot be made; check the job's method and url", c) // the error would show all of it
		}
		req.Header = c.header.Clone()
		resp, err := c.transport.RoundTrip(req)
		switch {
		case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, fmt.Errorf("%s: no answer within %s", c, c.timeout)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", c, plainError(err))
		}
		next, err := c.redirect(resp, target)
		if err == nil && next == nil {
			return resp, nil
		}
		resp.Body.Close()
		if err == nil && redirects == maxRedirects {
			err = fmt.Errorf("answers with more than %d redirects, the last to %s", maxRedirects, next.EscapedPath())
		}
		if err != nil {
			return resp, fmt.Errorf("%s: %w; give the final url in the job's definition", c, err)
		}
		target = next
	}
}

// redirect returns where the answer sends us, nil if nowhere.
func (c *httpCall) redirect(resp *http.Response, from *url.URL) (*url.URL, error) {
	keeps := false // method and body
	switch resp.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		keeps = true
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
	default:
		return nil, nil
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, nil
	}
	to, err := from.Parse(location)
	switch {
	case err != nil:
		return nil, fmt.Errorf("answers %d with a Location that is not a URL", resp.StatusCode)
	case from.Scheme == "https" && to.Scheme == "http":
		return nil, fmt.Errorf("answers %d to %s, which is not encrypted", resp.StatusCode, plainURL(to))
	case from.Scheme != to.Scheme || !strings.EqualFold(from.Hostname(), to.Hostname()) || port(from) != port(to):
		return nil, fmt.Errorf("answers %d to %s, which is another scheme, host or port", resp.StatusCode, plainURL(to))
	case !keeps && c.method != http.MethodGet:
		return nil, fmt.Errorf("answers %d to %s, which would turn it into a GET", resp.StatusCode, to.EscapedPath())
	}
	return to, nil
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// plainURL is u without its query, fragment and user, which may be secret.
func plainURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
