"""What each page says, as plain values and figures; nothing here knows Streamlit."""
