module neuralops.invalid/tests/idp

go 1.26.0
