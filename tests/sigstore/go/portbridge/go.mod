module neuralops.invalid/tests/portbridge

go 1.26.0
