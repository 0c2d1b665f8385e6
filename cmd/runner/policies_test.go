package main

import "testing"

// The bundled policies and the library are tested by go test, too.
func TestTheBundledPoliciesPassTheirTests(t *testing.T) {
	if code := run(t.Context(), []string{"test", "../../policies", "../../stdlib"}); code != exitOK {
		t.Errorf("runner test ended with %d", code)
	}
}
