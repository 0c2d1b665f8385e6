package cloud

import (
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

func TestNoLoginCrossesInClear(t *testing.T) {
	for url, clear := range map[string]bool{
		"http://dav.example/x": true, "http://10.1.2.3:9000": true, "http://u:hunter2@dav.example/x": true, "https://dav.example/x": false,
		"http://127.0.0.1:8080": false, "http://localhost/x": false, "http://[::1]/x": false, "dav.example": false, "": false,
	} {
		err := secure(engine.Login{Kind: "webdav", Options: map[string]string{"url": url}})
		if (err != nil) != clear || clear && !failure.Is(err, target.CodeBadTarget) {
			t.Errorf("%s: got %v, want refused %t", url, err, clear)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v: it tells the password", err)
		}
	}
}

func TestAnAccountIsNamedWithoutItsSecrets(t *testing.T) {
	for want, l := range map[string]engine.Login{
		"onedrive b!1": {Kind: "onedrive", Options: map[string]string{"drive_id": "b!1", "token": "s3cret", "client_secret": "s3cret"}},
		"webdav https://dav.example/x u": {Kind: "webdav", Options: map[string]string{"url": "https://u:s3cret@dav.example/x", "user": "u",
			"pass": "s3cret"}},
		"s3 https://s3.example AKIA Other": {Kind: "s3", Options: map[string]string{"endpoint": "https://s3.example", "provider": "Other",
			"access_key_id": "AKIA", "secret_access_key": "s3cret"}},
	} {
		if got := account(l); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
