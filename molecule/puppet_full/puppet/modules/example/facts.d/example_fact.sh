#!/bin/sh
echo example_fact=of-the-module
