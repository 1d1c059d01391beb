// Command registry is an in-memory OCI registry for tests, with a choice of how it speaks of referrers:
//
//	spec   the OCI 1.1 referrers API as written, filtering included (library: cuelabs ociregistry)
//	quirk  the referrers API with the config's media type where the artifact type belongs, no filter
//	       (library: go-containerregistry 0.22.1)
//	off    no referrers API, 404: clients fall back to the tag sha256-HEX
package main

import (
	"crypto/subtle"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	addr := flag.String("address", "127.0.0.1:0", "address; port 0 picks one; the address is printed once it serves")
	refs := flag.String("referrers", "spec", "spec, quirk or off")
	auth := flag.String("auth", "", "USER:PASSWORD that every request must carry; empty: open")
	cert, key := flag.String("tls-cert", "", "PEM file"), flag.String("tls-key", "", "PEM file")
	flag.Parse()

	var h http.Handler
	switch *refs {
	case "spec", "off":
		h = ociserver.New(ocimem.New(), &ociserver.Options{DisableReferrersAPI: *refs == "off"})
	case "quirk":
		h = registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(os.Stderr, "", 0)))
	default:
		log.Fatalf("-referrers=%s: spec, quirk or off", *refs)
	}
	lis, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lis.Addr())
	srv := &http.Server{Handler: logged(guarded(h, *auth)), ReadHeaderTimeout: 5 * time.Second}
	if *cert != "" {
		log.Fatal(srv.ServeTLS(lis, *cert, *key))
	}
	log.Fatal(srv.Serve(lis))
}

// guarded asks for basic credentials, as registries with an htpasswd file do.
func guarded(h http.Handler, credentials string) http.Handler {
	if credentials == "" {
		return h
	}
	user, password, _ := strings.Cut(credentials, ":")
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); !ok || !same(u, user) || !same(p, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// logged writes one line for each request to standard error, so that a test can count them.
func logged(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(os.Stderr, r.Method, r.URL.RequestURI())
		h.ServeHTTP(w, r)
	})
}
