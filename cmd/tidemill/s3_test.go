//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidemill/tidemill/internal/tests3"
)

// s3 start ID SECRET starts a server, sets S3 to the parameters of its URLs, S3_ENDPOINT to its own, and the credentials in the environment. s3 only ID
// has it refuse requests that are not signed with that key. s3 put KEY FILE makes an object; s3 keys prints the keys of all.
func cmdS3(ts *testscript.TestScript, args []string) error {
	w := worldOf(ts)
	switch args[0] {
	case "start":
		w.s3 = tests3.Start(w.tb)
		for name, value := range map[string]string{
			"S3":                    "endpoint=" + url.QueryEscape(w.s3.Endpoint),
			"S3_ENDPOINT":           w.s3.Endpoint,
			"AWS_ACCESS_KEY_ID":     args[1],
			"AWS_SECRET_ACCESS_KEY": args[2],
		} {
			ts.Setenv(name, value)
			w.addVariable(name)
		}
		onlySigned(w.s3, args[1])
	case "only":
		onlySigned(w.s3, args[1])
	case "put":
		w.s3.Put(w.tb, args[1], ts.ReadFile(args[2]))
	case "keys":
		fmt.Fprintln(ts.Stdout(), strings.Join(w.s3.Keys(w.tb), "\n"))
	default:
		return fmt.Errorf("unknown: s3 %s", args[0])
	}
	return nil
}

// onlySigned looks at the key of a signature, and takes its word for the rest.
func onlySigned(server *tests3.Server, id string) {
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+id+"/") {
			return false
		}
		tests3.Refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		return true
	})
}
