package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc" // go get github.com/coreos/go-oidc/v3
)

var login = os.Getenv("OSTIARY_LOGIN") // https://login.example.com
var app = os.Getenv("OSTIARY_APP")     // https://grafana.example.com, this app as people open it
var keys = oidc.NewRemoteKeySet(context.Background(), login+"/.well-known/ostiary/jwks.json")
var verifier = oidc.NewVerifier(login, keys, &oidc.Config{ClientID: app, SupportedSigningAlgs: []string{oidc.ES256}})

// Caller says who is calling, from the header X-Ostiary-Assertion, or fails when it proves nothing.
func Caller(ctx context.Context, assertion string) (*oidc.IDToken, error) {
	head, _, _ := strings.Cut(assertion, ".")
	text, _ := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Typ string }
	if err := json.Unmarshal(text, &header); err != nil || header.Typ != "ostiary+jwt" {
		return nil, errors.New("not an assertion of Ostiary")
	}
	return verifier.Verify(ctx, assertion) // .Subject; .Claims(&yours) for email, groups, …
}
