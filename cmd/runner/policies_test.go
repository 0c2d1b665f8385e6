package main

import "testing"

// The bundled policies and the library are tested by go test, too.
func TestTheBundledPoliciesPassTheirTests(t *testing.T) {
	if code := run(t.Context(), []string{"test", "../../policies", "../../stdlib"}); code != exitOK {
		t.Errorf("runner test ended with %d", code)
	}
}

// The example site is what a new user copies: it must be one that loads, and that
// the bundled policies fit.
func TestTheExampleSiteLoads(t *testing.T) {
	args := []string{"check", "--ask=false", "--site", "../../policies/site.example.star", "--state", t.TempDir(), "../../policies/nightly.star"}
	if code := run(t.Context(), args); code != exitOK {
		t.Errorf("runner check ended with %d", code)
	}
}
