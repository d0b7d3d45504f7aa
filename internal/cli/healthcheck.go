package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemill/tidemill/metrics"
)

// probeTimeout is how long one answer may take. Whoever probes for us, such as Docker, gives up after some seconds as well.
const probeTimeout = 5 * time.Second

// probeInterval is how far apart the attempts of --wait are.
const probeInterval = 250 * time.Millisecond

func (m *Main) healthcheckCmd() *cobra.Command {
	var address string
	var server bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a worker or a server on this machine whether it is ready",
		Long: `Asks /readyz of the worker at metrics.listen, with --server of the server at server.listen, and exits 0 if it is ready. It
needs neither a shell nor curl, so it serves as HEALTHCHECK of a container and as ExecStartPost of a systemd unit.

With --url it reads no configuration. Without, a configuration with a mistake fails the check.

Exit codes: 0 ready, 1 not ready or no answer within 5 s, 2 wrong usage.`,
		Example: `  tidemill healthcheck
  tidemill healthcheck --server --wait 30s
  tidemill healthcheck --url http://127.0.0.1:9394`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 {
				return &usageError{err: fmt.Errorf("--wait %s is negative", wait), hint: "write it like 30s"}
			}
			if address != "" && server {
				return &usageError{err: errors.New("--url and --server exclude each other"), hint: "--server takes the address from the configuration"}
			}
			target, err := m.probed(address, server)
			if err != nil {
				return err
			}
			return m.healthcheck(cmd.Context(), target, wait)
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "ask there, at /readyz if the `URL` has no path")
	cmd.Flags().BoolVar(&server, "server", false, "ask the server, not the worker")
	cmd.Flags().DurationVar(&wait, "wait", 0, "ask again for so long until it is ready, such as 30s")
	return cmd
}

// probed is the URL to ask.
func (m *Main) probed(address string, server bool) (*url.URL, error) {
	if address != "" {
		return parseProbe(address)
	}
	cfg, err := m.loadConfig()
	if err != nil {
		return nil, err
	}
	field, listen := "metrics.listen", cfg.Metrics.Listen
	if server {
		field, listen = "server.listen", cfg.Server.Listen
	}
	if listen == "" {
		return nil, withHint(fmt.Errorf("%s is empty, so there is nobody to ask", field), "give it an address, or ask another with --url")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if port == "0" {
		return nil, withHint(fmt.Errorf("%s has port 0, which stands for any", field), "its log says which one it has; ask there with --url")
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(dialable(host), port), Path: "/readyz"}, nil
}

// dialable is where a listener on host is reached from its own machine.
func dialable(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "", err == nil && ip.IsUnspecified() && ip.Is4():
		return "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		return "::1"
	}
	return host
}

func parseProbe(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// What was given is not repeated: it may hold a password.
		return nil, &usageError{err: errors.New("--url is not a URL of http or https"), hint: "write it like http://127.0.0.1:9394"}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/readyz"
	}
	return u, nil
}

// healthcheck asks until the answer is good or the wait is over; once at least.
func (m *Main) healthcheck(ctx context.Context, target *url.URL, wait time.Duration) error {
	client := &http.Client{
		// Straight there: a proxy of the environment, or a redirect, would answer for somebody else.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	err := probe(ctx, client, target)
	for ; err != nil && wait > 0; err = probe(ctx, client, target) {
		select {
		case <-time.After(probeInterval):
			continue
		case <-over.C:
		case <-ctx.Done():
		}
		break
	}
	if m.json {
		answer := map[string]any{"url": target.Redacted(), "ready": err == nil}
		if err != nil {
			answer["error"] = err.Error()
		}
		return errors.Join(m.printJSON(answer), err)
	}
	if err == nil {
		fmt.Fprintln(m.Stdout, "ready")
	}
	return err
}

// probe returns nil for an answer with status 200.
func probe(ctx context.Context, client *http.Client, target *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		var failed *url.Error // names the URL, without its password
		if errors.As(err, &failed) {
			err = failed.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", probeTimeout)
		}
		return fmt.Errorf("%s: %w", target.Redacted(), err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK {
		return nil
	}
	// A reason that cannot be read is none; the status is what counts.
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if reason := unreadiness(body); reason != "" {
		return fmt.Errorf("%s: %s: %s", target.Redacted(), res.Status, reason)
	}
	return fmt.Errorf("%s: %s", target.Redacted(), res.Status)
}

// unreadiness is what an answer of /readyz says is wrong: JSON of a worker, a line of a server.
func unreadiness(body []byte) string {
	var answer metrics.Readiness
	if json.Unmarshal(body, &answer) == nil && answer.Reason != "" {
		return answer.Reason
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if runes := []rune(line); len(runes) > 200 {
		line = string(runes[:200]) + "…"
	}
	return line
}
