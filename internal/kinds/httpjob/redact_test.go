package httpjob_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
)

// A receiver that echoes the request, as those for trying out do, does not put its secrets into the ledger.
func TestHTTPEchoesAreRedacted(t *testing.T) {
	t.Parallel()

	const token, password, key = "sk_live_51H8x", "corr\"ect horse", "k3y/with+odd=chars"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:"+password))
	headers := map[string]string{"Authorization": "Bearer " + token, "X-Basic-Auth": basic, "X-Tenant": "acme-production-7", "Accept": "application/json"}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"JSON", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"headers": r.Header, "url": r.URL.String(), "user": password, "args": r.URL.Query()})
		}},
		{"text, and a failure", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, "refused %s and %s of %s", r.Header.Get("Authorization"), token, r.URL)
		}},
		{"cut off in the middle", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("x", 1024-len(token)/2), token, strings.Repeat("y", 5000))
		}},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://other.example/"+url.PathEscape(token))
			w.WriteHeader(http.StatusTemporaryRedirect)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupHTTP(t)
			server, _ := serve(t, tt.answer)
			row := b.attempt(t, server.URL+"/x?key="+url.QueryEscape(key), func(def *config.Job, _ *httpjob.Args, _ *river.InsertOpts) {
				def.Spec.(*httpjob.Config).Headers = headers
				def.Spec.(*httpjob.Config).MaxResponse = 1 << 10
				def.Spec.(*httpjob.Config).Secrets = []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))}
			})
			all := fmt.Sprint(output(t, row))
			if len(row.Errors) > 0 {
				all += lastError(row)
			}
			for _, secret := range []string{token, token[:len(token)/2], basic[6:], "horse", key, url.QueryEscape(key), "acme-production", "v1,"} {
				if strings.Contains(all, secret) {
					t.Errorf("%q is in %s", secret, all)
				}
			}
			if !strings.Contains(all, "[reda") {
				t.Error(all)
			}
		})
	}
}
